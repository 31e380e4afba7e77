"""The vocabulary: tables and columns, items, keys and digests, carrier fields, health records. Pure."""
