// What every page begins and ends with.

#include "precept/core/io.h"
#include "precept/report/html.h"
#include "precept/report/sections.h"

namespace precept::section {

std::string page_head(const std::string& heading, const std::string& more_style) {
  const std::string title = html::escape(utf8_prefix(heading, 200));
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
         "base-uri 'none'; form-action 'none'\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>" +
         title + "</title>\n<style>\n" + style() + more_style +
         "</style>\n</head>\n<body>\n<header>\n<p class=\"eyebrow\">Precept</p>\n<h1>" + title + "</h1>\n";
}

std::string page_foot(const std::string& version) {
  return "</main>\n<footer><p>Written by precept" + (version.empty() ? "" : " " + html::bounded(version, 60)) +
         ". This page is one file and asks the network for nothing.</p></footer>\n</body>\n</html>\n";
}

}  // namespace precept::section
