"""What a job may cost."""
