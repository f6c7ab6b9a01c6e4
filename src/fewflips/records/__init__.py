"""What reports and files hold, as validated records."""
