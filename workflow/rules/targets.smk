"""What is asked for is something that this workflow makes."""

from qatflow.workflow.targets import asked_for, is_made, unknown_target


def check_targets():
    """End the run where a target is nothing that can be made. By now everything that can be made is known."""
    included = len(workflow.included_stack) > 1
    stored = workflow.storage_settings.default_storage_provider
    if included or stored or not workflow.is_main_process:
        return
    for target in asked_for(sys.argv):
        if not is_made(target, workflow):
            names = [one.name for one in workflow.rules if not one.has_wildcards()]
            sys.exit(f"error: {unknown_target(target, names, list(CONFIGS))}")
