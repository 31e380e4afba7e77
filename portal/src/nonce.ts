/** Styles that are made while the page runs bear the nonce that the policy of this answer allows. */
export const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";
