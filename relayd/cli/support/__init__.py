"""`relayd support-bundle`: what somebody who helps has to know, without secrets and addresses."""
