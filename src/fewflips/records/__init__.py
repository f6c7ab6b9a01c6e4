"""The contents of reports and files, as validated records."""
