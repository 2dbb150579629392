"""SVG pictures of the report, drawn by hand: their colours follow the page, also in the dark and in print."""
