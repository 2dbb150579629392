// SHA-256 (FIPS 180-4).
#ifndef QATFLOW_SHA256_H_
#define QATFLOW_SHA256_H_

#include <array>
#include <cstddef>

namespace qatflow {

std::array<unsigned char, 32> Sha256(const unsigned char* data, std::size_t size);

}  // namespace qatflow

#endif  // QATFLOW_SHA256_H_
