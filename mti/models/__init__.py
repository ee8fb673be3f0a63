"""Adapters: each makes a family of diffusers pipelines a `mti.types.LatentDiffusion`."""
