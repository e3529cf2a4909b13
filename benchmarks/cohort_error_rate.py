"""How often a cohort test claims an effect that is not there, by number of patients and how much they differ.

Run: ``python benchmarks/cohort_error_rate.py``. A minute; no data needed.
"""

import numpy as np

from comould.associate import random_effects, sign_flip

FEATURES, FLIPPED, ALPHA = 20_000, 2_000, 0.05
TESTS = (("REML", "truncated"), ("REML", "plain"), ("DL", "none"))


def main() -> None:
    rng = np.random.default_rng(1)
    print("| patients | τ² | " + " | ".join(f"{m}, {k}" for m, k in TESTS) + " | sign flip |")
    print("| --- " * (3 + len(TESTS)) + "|")
    for n in (5, 6, 8, 12, 20):
        for tau2 in (0.0, 0.01, 0.05):
            # Patients with 20 to 150 effective spots.
            v = 1 / (rng.uniform(20, 150, (n, FEATURES)) - 3)
            y = rng.normal(0, np.sqrt(v + tau2))
            rates = [
                float((random_effects(y, v, method=method, hartung_knapp=knapp).p <= ALPHA).mean())
                for method, knapp in TESTS
            ]
            flips = sign_flip(y[:, :FLIPPED], v[:, :FLIPPED], n_flips=999)
            flipped = "not testable" if np.isnan(flips.p).all() else f"{(flips.p <= ALPHA).mean():.3f}"
            print(f"| {n} | {tau2:g} | " + " | ".join(f"{rate:.3f}" for rate in rates) + f" | {flipped} |", flush=True)


if __name__ == "__main__":
    main()
