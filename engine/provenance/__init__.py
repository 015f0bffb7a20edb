"""Where a film comes from, what was done to it, and who agreed: said on every output, and read again."""
