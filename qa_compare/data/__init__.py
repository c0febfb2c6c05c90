"""Questions with their passages and gold answers: what they are, and the files and sources they come from."""
