"""Networks that judge results and take no part in making them; see `fetch` for where they come from."""
