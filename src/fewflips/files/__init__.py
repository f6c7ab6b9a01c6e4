"""Files that a user names, and files that are written: whole, bounded, and cleaned up."""
