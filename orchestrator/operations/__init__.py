"""What operators can ask for and do: use-cases on the engine and the store, the same for every door."""
