"""Figures, step-throughs and live training."""
