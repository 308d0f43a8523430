"""Show several platforms side by side: text, Markdown, JSON, a web page."""
