"""The HRNN recipes and what Personalize built on them: a recurrent network over each user's sequence of items."""
