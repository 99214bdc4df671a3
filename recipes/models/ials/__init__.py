"""iALS: vectors of users and items by implicit alternating least squares."""
