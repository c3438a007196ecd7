"""What tells: counts, metrics, progress, logs, summary. Nothing here changes what a run does."""
