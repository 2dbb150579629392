"""Snakemake's Kubernetes executor for pods that share a volume: `executor: kubernetes-shared`.

The plugin itself rules a shared file system out and sends declared inputs and outputs through an object store. Training
state, and the shards that a data manifest names, are files that Snakemake does not know: they need the volume.
"""

import shlex
from dataclasses import replace

from snakemake_executor_plugin_kubernetes import Executor as WithoutSharedStorage
from snakemake_executor_plugin_kubernetes import ExecutorSettings
from snakemake_executor_plugin_kubernetes import common_settings as without_shared_storage
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

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
