"""What the book computes with: one module for each idea. A module imports only from rows above its own.

data  gaussians  schedules     points, distributions, noise levels
forward  posterior             the fixed process q, and q run backwards from a known start
networks  oracle               what predicts: small perceptrons, and the exact answer for a finite data set
chain                          what all chains from noise to data share: the bound in two forms, sampling
vae  hvae  reverse  diffusion  the models of chapters 1 to 5: loss, sample, trajectory
training  evaluation           one loop, and how good its samples are
plots  widgets                 figures, step-throughs, live training
"""
