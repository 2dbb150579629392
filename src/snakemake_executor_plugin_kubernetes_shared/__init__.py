"""Snakemake's Kubernetes executor for pods that share a volume: `executor: kubernetes-shared`.

The plugin itself rules a shared file system out and sends declared inputs and outputs through an object store. Training
state, and the shards that a data manifest names, are files that Snakemake does not know: they need the volume.
"""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

try:
    from snakemake_executor_plugin_kubernetes import Executor as WithoutSharedStorage
    from snakemake_executor_plugin_kubernetes import ExecutorSettings
    from snakemake_executor_plugin_kubernetes import common_settings as without_shared_storage
except ModuleNotFoundError as missing:  # Snakemake imports every plugin that it finds: it starts without this one, too
    if missing.name != "snakemake_executor_plugin_kubernetes":
        raise
    without_shared_storage = CommonSettings(non_local_exec=True, implies_no_shared_fs=True, job_deploy_sources=True)
    ExecutorSettings = ExecutorSettingsBase

    class WithoutSharedStorage(RemoteExecutor):  # type: ignore[no-redef]
        """Stands for the plugin that is not installed, and says so."""

        def __post_init__(self) -> None:
            raise WorkflowError("executor kubernetes-shared: pip install snakemake-executor-plugin-kubernetes")

        def run_job(self, job: JobExecutorInterface) -> None:
            """Not reached."""

        def cancel_jobs(self, active_jobs: Any) -> None:
            """Not reached."""

        def check_active_jobs(self, active_jobs: Any) -> Iterator[Any]:
            """Not reached."""
            yield from active_jobs


__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = replace(
    without_shared_storage,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(WithoutSharedStorage):
    """Its pods work in the folder in which Snakemake was started."""

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """Return what a pod does before the job's command."""
        return f"cd {shlex.quote(str(self.workflow.workdir_init))}"
