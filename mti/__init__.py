"""Multi-token textual inversion: words for a picture, learned against a frozen latent diffusion model."""
