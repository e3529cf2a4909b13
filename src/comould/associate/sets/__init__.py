"""Genes by name: sourced sets, scores, and what names look like."""
