"""What moves: lines in, requests out, results down. Here lives asyncio; the rules are in ``batcher.core``."""
