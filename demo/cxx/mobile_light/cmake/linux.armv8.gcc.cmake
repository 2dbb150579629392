# Debian's cross compiler, for boards whose own system starts the program (glibc and libstdc++ as of Debian 12 or later).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
if(CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(CMAKE_CXX_COMPILER g++) # this machine's own
else()
  set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
endif()
set(CMAKE_CXX_FLAGS_INIT "-march=armv8-a")
