"""From a model to a usability test: faces in photos and recordings. All data stay on this machine.

    photos      faces, labels and boxes in pictures
    recording   a video or a camera into a csv with one row for each face and frame, in bounded
        memory
    timeline    from that csv to labels over time, tasks and moments worth a look
    page        report.html
    comparison  several participants, two designs
    web         a page that runs the model in the browser
    guide       how to embed an exported file in an app, from its real tensors

This needs the extra `sessions`; nothing here opens a connection.
"""

# Side of FER2013's pictures in face boxes, see _faces.
SIDE = 1.17
CONFIDENCE = 0.5
SCORE = 0.5
# Share of the time that must be readable for a task's rates, and for a participant to count in a
# comparison.
LEAST_READABLE = 0.5
DETECTORS = ("auto", "short", "full", "cascade")
