"""What is bought, or viewed, together: EASE with one basket or session in the place of a user."""
