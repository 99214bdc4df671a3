"""GetRecommendations and its siblings: serves trained artifacts together with what users did a moment ago."""
