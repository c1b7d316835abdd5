"""What backends share that ask a server."""
