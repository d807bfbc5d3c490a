// What a promise of this module is rejected with. code: see README.md. have: the last good version, if there is one.
export class UpdateError extends Error {
    constructor(code, message, cause) {
        super(message, cause ? { cause } : undefined);
        this.name = 'UpdateError';
        this.code = code;
        this.have = null;
    }
}
