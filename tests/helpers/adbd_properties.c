/* Preloaded into Debian's adbd by real_adbd.py: sets the properties that PHONE_PROPERTIES lists (name=value lines)
 * before adbd reads them, so that it serves the one socket it is given and listens nowhere else. */
#include <stdlib.h>
#include <string.h>

extern int __system_property_set(const char* name, const char* value);

__attribute__((constructor)) static void set_properties(void) {
  char* text = getenv("PHONE_PROPERTIES");
  char* rest = NULL;
  if (text == NULL || (text = strdup(text)) == NULL) return;
  for (char* line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char* equals = strchr(line, '=');
    if (equals == NULL) continue;
    *equals = '\0';
    __system_property_set(line, equals + 1);
  }
  free(text);
  /* The shells that adbd starts shall not see either. */
  unsetenv("PHONE_PROPERTIES");
  unsetenv("LD_PRELOAD");
}
