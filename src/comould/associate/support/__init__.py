"""From map to spot and back: sampling, footprints, depth, sums at a chosen scale."""
