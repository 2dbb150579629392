"""The template of the report's page, below this module's folder: so it is an input of the rule (`base.code_digest`)."""

TEMPLATE = "report_page.html"
