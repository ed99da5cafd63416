"""What both sides share: records that engines leave and notebooks read."""
