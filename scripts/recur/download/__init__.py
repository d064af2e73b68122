"""Public collections: which series are fetched, and the store on disk they lie in; the only room with a network."""
