"""What would have been (N4): recorded tickets decided again under another pack, in memory; what that costs and whom it helps."""
