"""Process 2: fetches the configuration, keeps records safe, uploads them. No privilege."""
