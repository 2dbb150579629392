// How the program fails: an exit status for each kind of mistake, and a message for the user.
#ifndef QATFLOW_FAILURE_H_
#define QATFLOW_FAILURE_H_

#include <stdexcept>
#include <string>

namespace qatflow {

// `--help` lists them; 1 and everything from 126 on are left to the shell and to signals.
enum ExitStatus {
  kDone = 0,
  kWrongFlag = 2,
  kNoModel = 3,
  kUnusableModel = 4,
  kWrongInputSize = 5,
  kRunFailed = 6,
  kUnwritableOutput = 7,
  kOtherModelVersion = 8,
  kUnreadableInput = 9,
  kDamagedPicture = 10,
  kUnusableModelFolder = 11,
};

class Failure : public std::runtime_error {
 public:
  Failure(ExitStatus status, const std::string& message) : std::runtime_error(message), status_(status) {}
  ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

}  // namespace qatflow

#endif  // QATFLOW_FAILURE_H_
