"""Full-size targets: trained by open_clip's own trainer, and the public checkpoints of the authors of IDIA."""
