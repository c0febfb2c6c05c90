"""What a person does with the models: ask, probe, inspect errors, answer a file, export."""
