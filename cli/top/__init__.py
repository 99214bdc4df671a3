"""`tailorbird top`: what the processes of an installation do at the moment, from the figures that they show."""

from cli.top.scraping import Scrape, parse_targets, scrape_all
from cli.top.summary import Summary, summarize
from cli.top.tables import as_tables

__all__ = ["Scrape", "Summary", "as_tables", "parse_targets", "scrape_all", "summarize"]
