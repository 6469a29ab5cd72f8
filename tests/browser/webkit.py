#!/usr/bin/python3
"""A browser around Debian's WebKitGTK that WebKitWebDriver drives: webkit.py FOLDER FEATURES keeps what pages store in
the folder, unlike WebKit's own MiniBrowser, whose automated sessions store nothing."""

import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # noqa: E402


def with_features(names):
    settings = WebKit2.Settings()
    features = WebKit2.Settings.get_all_features()
    for feature in map(features.get, range(features.get_length())):
        if feature.get_identifier() in names:
            settings.set_feature_enabled(feature, True)
    return settings


def drive(context, settings):
    def open_window(_session):
        view = WebKit2.WebView(web_context=context, settings=settings, is_controlled_by_automation=True)
        window = Gtk.Window(default_width=1280, default_height=900)
        window.add(view)
        window.show_all()
        return view

    def start(_context, session):
        info = WebKit2.ApplicationInfo()
        info.set_name("WebKitGTK")
        session.set_application_info(info)
        session.connect("create-web-view", open_window)

    context.connect("automation-started", start)


def main(folder, features):
    data = WebKit2.WebsiteDataManager(base_data_directory=f"{folder}/data", base_cache_directory=f"{folder}/cache")
    context = WebKit2.WebContext(website_data_manager=data)
    context.set_automation_allowed(True)
    context.set_preferred_languages(["en"])
    drive(context, with_features(features.split(",")))
    Gtk.main()


main(*sys.argv[1:])
