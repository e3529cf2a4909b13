"""Matching of pictures that need not look alike: self-similarity, displacement volumes, smooth fields.

What a place looks like beside its own neighbourhood is compared, not its brightness: stain and MR contrast may be
related by any curve, and by another one in each region. All displacements within reach are tried, so nothing depends
on a gradient that points the right way; the smooth field through them is found by alternating between the two.
"""
