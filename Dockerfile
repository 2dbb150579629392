# The workflow in a container (docs/hosts.md). What is installed is said in setup.sh alone, as everywhere.
ARG BASE=debian:12-slim
FROM ${BASE} AS system
WORKDIR /opt/qatflow
COPY setup.sh ./
COPY src/qatflow/base/system_packages.txt src/qatflow/base/
RUN bash setup.sh packages
RUN useradd --create-home --uid 1000 qatflow

# Packages that only a change of requirements.lock or pyproject.toml installs again.
FROM system AS python
COPY requirements.lock pyproject.toml ./
RUN bash setup.sh python

FROM system AS qatflow
COPY --from=python /opt/qatflow/.venv .venv
COPY setup.sh run.sh Snakefile pyproject.toml requirements.lock LICENSE ./
COPY src src
COPY workflow workflow
COPY config config
COPY demo demo
COPY profiles profiles
COPY envs envs
RUN .venv/bin/python -m compileall -q src
RUN mkdir /work && chmod 1777 /work
# Any user may run it (--user): what has to be written goes to /work and /tmp.
ENV PATH=/opt/qatflow/.venv/bin:$PATH HOME=/tmp QATFLOW_FOLDER=/work
WORKDIR /work
USER qatflow
ENTRYPOINT ["/opt/qatflow/run.sh"]
