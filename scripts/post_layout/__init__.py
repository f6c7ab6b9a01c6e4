"""Place and route a column of 4 lanes with qflow, and compare its energy before and after layout."""
