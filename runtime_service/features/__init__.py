"""What is known of items, users and actions at this moment, and what filters and metadata columns make of it."""
