"""The files of the comparison's page: its template, and what that includes (see `page_files`)."""

TEMPLATE = "comparison_page.html"
