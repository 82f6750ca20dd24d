// SPDX-License-Identifier: Apache-2.0
#include "common/report/embedded_page.h"

#include <cstddef>

// The assembler takes the file in as it is: a compiler would take minutes over it as a list of numbers. ATTUNE_PAGE_FILE is set
// by CMakeLists.txt, to an empty file where there is no page.
__asm__(
    ".section .rodata\n"
    ".global attune_report_page\n"
    ".global attune_report_page_end\n"
    "attune_report_page:\n"
    ".incbin \"" ATTUNE_PAGE_FILE
    "\"\n"
    "attune_report_page_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" {
extern const char attune_report_page[];
extern const char attune_report_page_end[];
}

namespace attune {

absl::string_view EmbeddedPage() {
  return {attune_report_page, static_cast<std::size_t>(attune_report_page_end - attune_report_page)};
}

}  // namespace attune
