"""What the book computes with, in rooms. A module imports only from those above its own.

contracts       what arguments must be, said in signatures and held at the door
data            points to learn from, and their units
process         the fixed process q: what noise does to data, and its undoing from a known start
solvers         samplers: from noise to a sample, given reverse steps or a denoiser
models          networks, the models of chapters 1 to 5, the exact denoiser
training        one loop for all models
measure         how good samples are, beside their noise floor
show            figures, step-throughs, live training
"""
