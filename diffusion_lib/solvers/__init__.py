"""From noise to a sample, given reverse steps or a denoiser."""
